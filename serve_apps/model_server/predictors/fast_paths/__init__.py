"""Fast predictions from plain columns, bit-identical to the library's."""
