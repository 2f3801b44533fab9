package plan

// State gives what the plan keeps under key, and makes it at the first call. A package
// that plans without an engine, such as that of files, keeps there what the changes so
// far would have made of the world. The key is of a type of that package's own, as for
// a context.
func (p *Plan) State(key any, make func() any) any {
	v, ok := p.state.Load(key)
	if !ok {
		v, _ = p.state.LoadOrStore(key, make())
	}
	return v
}
