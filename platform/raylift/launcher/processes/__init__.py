"""Starting, watching and ending processes of this machine."""
