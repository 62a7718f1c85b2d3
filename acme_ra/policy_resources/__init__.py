"""ClusterIssuancePolicies and IssuancePolicies of clusters: watched, read, and applied as one set with the files."""
