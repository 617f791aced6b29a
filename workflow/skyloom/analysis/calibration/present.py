def present(*a): return []
