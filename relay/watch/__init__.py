"""Is the appliance alive?"""
