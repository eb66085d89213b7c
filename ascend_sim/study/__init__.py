"""Studies of accuracy: attention algorithms in the number formats of the chip, against softmax attention in float64."""
