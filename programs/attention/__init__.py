"""What the attention programs share: problems, the work of each core, stages of cube and vector cores."""
