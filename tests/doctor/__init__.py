"""`ullage doctor`, in real processes."""
