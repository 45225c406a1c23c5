"""The job that makes conductivities of forces: on cores, one process each, without torch and without AiiDA."""
