"""From Alertmanager's webhook to incidents, decisions and a durable backlog."""
