"""Preparing: pairs become a folder of Arrow files, cleaned and tokenized."""
