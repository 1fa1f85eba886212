"""The background process of a project, its socket, its client, and the journal that kernels write."""
