"""What tests of an engine need, ours and yours: checkers of its guarantees, and the journal that workers write."""
