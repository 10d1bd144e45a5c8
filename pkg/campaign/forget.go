//go:build synctests

package campaign

// Forget makes this process one that has just begun: it knows no zone and no compiled campaign. In the simulation all processes are one, in which
// whatever is remembered beyond an engine would be remembered for ever, and what goes wrong as it is learned anew would never be seen.
func Forget() {
	zones.Lock()
	clear(zones.loaded)
	zones.Unlock()
	compiled.Lock()
	clear(compiled.campaigns)
	compiled.Unlock()
}
