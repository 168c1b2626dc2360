"""What do we do about an outage?"""
