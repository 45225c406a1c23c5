"""Tables and values as people read them: rounded by unit, within a width, with what was left out said. No AiiDA."""
