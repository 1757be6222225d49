"""Raw scans to what the networks take: quality checks, registration, skull stripping, bias field, intensity."""
