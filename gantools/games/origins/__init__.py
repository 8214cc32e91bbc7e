"""Where a NaN or an infinity of a game's losses or gradients arose: player, layer, operation, line of code."""
