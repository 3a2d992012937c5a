"""What runs inside the application's processes. Standard library only; nothing happens at import."""
