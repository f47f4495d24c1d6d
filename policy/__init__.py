"""What every resource has to satisfy: a policy pack, and its rules for anybody's tests."""
