"""Is a program safe? Races, misused flags, memory that nobody has written, numbers that break, and what slows it "
"down."""
