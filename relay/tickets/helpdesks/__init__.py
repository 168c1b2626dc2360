"""Where tickets are shown to people: one file a helpdesk."""
