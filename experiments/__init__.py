"""One command per stage of the pipeline or experiment of the paper."""
