"""Applications that know nothing of ullage, run as containers would run them: without it, with it, and with trouble."""
