"""One conversation, from one provider to another: check, checkpoint, reconstruct. Pure."""
