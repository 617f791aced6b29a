"""The archives: one module each, from its file formats to tables and arrays and back."""
