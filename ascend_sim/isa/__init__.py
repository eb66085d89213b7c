"""The instructions, by pipe, and what they work on."""
