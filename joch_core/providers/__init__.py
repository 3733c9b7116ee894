"""Who speaks a wire, with which client, key and region."""
