"""A catalogue of wrong inputs, and of what the command line says to each."""
