"""The board and the API: pages and JSON over what the client does and the store reads. Never imports a program."""
