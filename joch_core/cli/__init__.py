"""The `joch` command, one file per noun."""
