package stream

import "sync"

const (
	// maxNames bounds how many values a label has that others choose: ids of campaigns and budgets.
	maxNames = 1000
	// otherNames is the value of all that came when there were so many; no id looks like it.
	otherNames = "(others)"
)

// names are the values of a label, each as long as there are few.
type names struct {
	mu    sync.Mutex
	known map[string]bool
}

// label is the value for a name. A process that has met too many calls all further ones the same.
func (n *names) label(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.known[name]:
	case len(n.known) == maxNames:
		return otherNames
	case n.known == nil:
		n.known = map[string]bool{name: true}
	default:
		n.known[name] = true
	}
	return name
}
