"""The parts of a boxed system: who answers, who decides that, and what may leave."""
