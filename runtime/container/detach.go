package container

import "io"

// DetachReader reads r until the detach keys come, then gives [ErrDetached].
// What turns out to be only the beginning of the keys is passed on. It is for
// one reader at a time.
func DetachReader(r io.Reader, keys []byte) io.Reader {
	if len(keys) == 0 {
		return r
	}
	return &detachReader{r: r, keys: keys}
}

type detachReader struct {
	r    io.Reader
	keys []byte
	held int    // how many of keys are read and not passed on
	out  []byte // to be passed on
	err  error
}

func (d *detachReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.out) == 0 && d.err == nil {
		n, err := d.r.Read(p)
		for _, b := range p[:n] {
			if d.feed(b) {
				err = ErrDetached
				break
			}
		}
		if err != nil && err != ErrDetached {
			d.out = append(d.out, d.keys[:d.held]...)
		}
		d.err = err
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	if len(d.out) > 0 {
		return n, nil
	}
	return n, d.err
}

// feed takes one byte and tells whether the keys are complete.
func (d *detachReader) feed(b byte) bool {
	for {
		if b == d.keys[d.held] {
			d.held++
			return d.held == len(d.keys)
		}
		if d.held == 0 {
			d.out = append(d.out, b)
			return false
		}
		// A shorter beginning may still be under way: a a b is in a a a b.
		was := d.held
		d.held = overlap(d.keys[:was])
		d.out = append(d.out, d.keys[:was-d.held]...)
	}
}

// overlap is the length of the longest beginning of s that is also its end.
func overlap(s []byte) int {
	for n := len(s) - 1; n > 0; n-- {
		if string(s[:n]) == string(s[len(s)-n:]) {
			return n
		}
	}
	return 0
}
