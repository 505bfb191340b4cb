"""The LFBT loss, and the objectives that it is compared with."""

__all__ = ["lead_contrastive", "lfbt", "objectives"]
