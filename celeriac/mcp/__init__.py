"""The door for agents: a server of the Model Context Protocol over the client. docs/reference/agents.md."""
