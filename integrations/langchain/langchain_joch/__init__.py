"""Joch for LangChain."""
