"""Services: what is configured, what is known of each, and what must outlive the process."""
