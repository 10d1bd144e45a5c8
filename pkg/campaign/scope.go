package campaign

// scope is what a condition sees: an event, and its user as known at the event's time.
type scope struct {
	event        *Event
	day          Day // event.date and event.weekday, by rule T1
	hour         int // event.hour, of the local wall clock
	userTimezone string
	attributes   Value // user.*: an object
	details      bool  // an error is to name the field
}

var weekdays = [7]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
