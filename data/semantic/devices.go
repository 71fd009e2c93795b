package semantic

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/inos-mesh/inos"
)

// PutEnrolment implements inos.SemanticIdentity.
func (s *Store) PutEnrolment(ctx context.Context, hash [inos.HashBytes]byte, user inos.Subject, expires, now inos.Micros) error {
	const op = "semantic:put_enrolment"
	if err := checkEnrolment(op, user, expires, now); err != nil {
		return err
	}
	return s.write(ctx, op, 2, func(t *tx) error {
		if err := t.haveUser(op, user); err != nil {
			return err
		}
		if err := t.exec(deleteOverEnrolments, string(user), int64(now)); err != nil {
			return err
		}
		var of inos.Subject
		var until int64
		known, err := found(t.row(selectEnrolment, hash[:]), &of, &until)
		switch {
		case err != nil:
			return err
		case known && of != user:
			return enrolmentTaken(op, user)
		case !known:
			var enrolments int
			if err := t.row(countEnrolments, string(user)).Scan(&enrolments); err != nil {
				return err
			}
			if enrolments >= inos.UserEnrolmentsMax {
				return tooMany(op, string(user), inos.UserEnrolmentsMax, "enrolments that are not used yet")
			}
		}
		return t.exec(upsertEnrolment, hash[:], string(user), int64(expires))
	})
}

// enrol makes a session's device the user's, by an enrolment that is used up; or the device is the user's already.
func (t *tx) enrol(op string, s *inos.SessionInfo, o *inos.Opening, now inos.Micros) error {
	d, known, err := t.device(s.Subject, s.Device)
	if err != nil {
		return err
	}
	if known {
		return checkDevice(op, &d, o.PublicKey)
	}
	if o.Enrolment == nil {
		return notEnrolled(op, s)
	}
	var of inos.Subject
	var until inos.Micros
	good, err := found(t.row(selectEnrolment, o.Enrolment[:]), &of, &until)
	if err != nil {
		return err
	}
	if !good || of != s.Subject || until <= now {
		return notEnrolled(op, s)
	}
	var devices int
	if err := t.row(countDevices, string(s.Subject)).Scan(&devices); err != nil {
		return err
	}
	if devices >= inos.UserDevicesMax {
		return tooMany(op, string(s.Subject), inos.UserDevicesMax, "devices, revoked ones included")
	}
	if err := t.exec(deleteEnrolment, o.Enrolment[:]); err != nil {
		return err
	}
	if err := t.exec(insertDevice, s.Device, string(s.Subject), o.DeviceName, o.PublicKey, int64(now), 0); err != nil {
		return err
	}
	return t.newFact(factDevices, deviceName(s.Subject, s.Device), now)
}

func (t *tx) device(user inos.Subject, id string) (inos.Device, bool, error) {
	d, err := scanDevice(t.row(selectDevice, string(user), id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil, err
}

func scanDevice(scan func(...any) error) (d inos.Device, err error) {
	var key []byte
	if err := scan(&d.ID, &d.User, &d.Name, &key, &d.CreatedAt, &d.Revoked); err != nil {
		return d, err
	}
	if copy(d.PublicKey[:], key) != len(d.PublicKey) || len(key) != len(d.PublicKey) {
		return d, inos.Errorf(inos.CodeBadFormat, "read device row", "a key of %d bytes, it has %d", len(key), len(d.PublicKey))
	}
	return d, nil
}

// ListDevices implements inos.SemanticIdentity.
func (s *Store) ListDevices(ctx context.Context, user inos.Subject) (devices []inos.Device, err error) {
	const op = "semantic:list_devices"
	err = s.read(ctx, op, func(r *snapshot) error {
		var disabled bool
		known, err := found(r.row(existsUser, string(user)), &disabled)
		if err != nil {
			return err
		}
		if !known {
			return userUnknown(op, user)
		}
		rows, err := r.query(listDevices, string(user))
		devices, err = collect(rows, err, scanDevice)
		return err
	})
	if err != nil {
		return nil, err
	}
	return devices, nil
}

// RevokeDevice implements inos.SemanticIdentity.
func (s *Store) RevokeDevice(ctx context.Context, user inos.Subject, device string, now inos.Micros) (revoked []string, issued int, err error) {
	const op = "semantic:revoke_device"
	err = s.write(ctx, op, 16, func(t *tx) error {
		d, known, err := t.device(user, device)
		if err != nil {
			return err
		}
		if !known {
			return deviceUnknown(op, user, device)
		}
		if !d.Revoked {
			if err := t.exec(revokeDevice, string(user), device); err != nil {
				return err
			}
			if err := t.newFact(factDevices, deviceName(user, device), now); err != nil {
				return err
			}
		}
		if err := t.exec(deleteEnrolmentsOf, string(user)); err != nil {
			return err
		}
		own, err := t.revoke(deleteSessionsOfDevice, string(user), device)
		if err != nil {
			return err
		}
		others, err := t.revoke(deleteIssuedBy, string(user), device)
		if err != nil {
			return err
		}
		issued, revoked = len(others), append(own, others...)
		slices.Sort(revoked)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return revoked, issued, nil
}
