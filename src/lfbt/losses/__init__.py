"""The LFBT loss, and the objectives that it is compared with."""
