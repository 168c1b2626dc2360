"""Who must know, and how soon?"""
