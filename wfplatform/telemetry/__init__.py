"""What the platform's processes say of themselves."""
