"""An attempt on a node that does not see the attempt's directory: its files come and go by HTTP (docs/adr/0043)."""
