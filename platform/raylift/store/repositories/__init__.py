"""The store's methods, a mixin per subject."""
