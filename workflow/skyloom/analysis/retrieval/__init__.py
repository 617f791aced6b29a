"""Does an image find its own spectrum?"""
