"""The timing model, the memory system and functional execution."""
