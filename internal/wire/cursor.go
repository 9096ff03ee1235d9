package wire

// cursor reads protobuf's encoding from b, in step with the code that
// gogo/protobuf generates: the same inputs fail, and unknown fields, groups
// included, are passed over.
type cursor struct {
	b []byte
}

func (c *cursor) more() bool { return len(c.b) > 0 }

// varint reads up to ten bytes; bits past the 64th are dropped.
func (c *cursor) varint() (uint64, error) {
	var v uint64
	for i := range c.b {
		if i == 10 {
			return 0, errVarint
		}
		v |= uint64(c.b[i]&0x7f) << (7 * i)
		if c.b[i] < 0x80 {
			c.b = c.b[i+1:]
			return v, nil
		}
	}
	if len(c.b) >= 10 {
		return 0, errVarint
	}
	return 0, errTruncated
}

// tag reads a field's number and wire type.
func (c *cursor) tag() (num int32, typ int, err error) {
	v, err := c.varint()
	if err != nil {
		return 0, 0, err
	}
	num, typ = int32(v>>3), int(v&7)
	if num <= 0 || typ == typeEndGroup {
		return 0, 0, errTag
	}
	return num, typ, nil
}

// varintOf reads the value of a varint field that was found with type typ.
func (c *cursor) varintOf(typ int) (uint64, error) {
	if typ != typeVarint {
		return 0, errWireType
	}
	return c.varint()
}

// bytesOf reads the value of a length-delimited field that was found with type
// typ. The result is a view of the input.
func (c *cursor) bytesOf(typ int) ([]byte, error) {
	if typ != typeBytes {
		return nil, errWireType
	}
	n, err := c.varint()
	if err != nil {
		return nil, err
	}
	return c.take(n)
}

func (c *cursor) take(n uint64) ([]byte, error) {
	if n > uint64(len(c.b)) {
		return nil, errTruncated
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v, nil
}

const (
	typeFixed64    = 1
	typeStartGroup = 3
	typeEndGroup   = 4
	typeFixed32    = 5
)

// skip passes over the value of a field that was found with type typ. Groups
// are nested fields up to their end; their field numbers are not looked at.
func (c *cursor) skip(typ int) error {
	for depth := 0; ; {
		var err error
		switch typ {
		case typeVarint:
			_, err = c.varint()
		case typeFixed64:
			_, err = c.take(8)
		case typeBytes:
			_, err = c.bytesOf(typ)
		case typeStartGroup:
			depth++
		case typeEndGroup:
			depth--
		case typeFixed32:
			_, err = c.take(4)
		default:
			err = errWireType
		}
		if err != nil || depth == 0 {
			return err
		}
		next, err := c.varint()
		if err != nil {
			return err
		}
		typ = int(next & 7)
	}
}
