"""Results for people and for other programs: summary, listing, files, pictures."""
