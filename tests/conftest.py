"""What holds for all tests."""

import hypothesis

# A test of inputs that are drawn is no test of the box's speed.
hypothesis.settings.register_profile("any-speed", deadline=None)
if not hypothesis.settings.get_current_profile_name().startswith("ci"):
    hypothesis.settings.load_profile("any-speed")
