def draw_batch(*a): pass
def draw_found(*a): pass
